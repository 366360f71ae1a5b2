"""Jobs, the schedule and the sensors: what runs without a person."""
