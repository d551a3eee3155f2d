"""What Prometheus reads of a station: what is counted already, read when somebody asks, and rendered in small slices.

Here live the families (name, labels, meaning, where each value comes from) and their rendering by prometheus_client.
Not here: counting, which stands beside what happens, and HTTP. `exposition` is loaded at the first scrape only.
"""
