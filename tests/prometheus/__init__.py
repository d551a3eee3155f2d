"""What is in deploy/ for Prometheus and Grafana, held to real scrapes of a real daemon."""
