"""Commands that devices are told of as jobs."""
