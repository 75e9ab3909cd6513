"""What devices ask for over HTTPS with their certificate, as AWS IoT Core takes it: publish, shadows, jobs."""
