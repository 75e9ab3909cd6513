"""Devices are asked to renew their certificates, and do so over MQTT."""
