"""The part of PromQL that is answered, for Grafana and whatever else asks Prometheus."""
