"""Questions about many readings: bins of any width in any time zone, percentiles, rolling windows."""
