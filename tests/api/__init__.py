"""`make api`: schemathesis against a real station, through its socket and over the network."""
