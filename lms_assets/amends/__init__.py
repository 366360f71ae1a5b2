"""What repairs loaded days apart from the road: adoption, erasure, replay."""
