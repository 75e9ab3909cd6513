"""The files of the cold tier are looked after."""
