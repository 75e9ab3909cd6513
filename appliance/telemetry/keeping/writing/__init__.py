"""Days written anew, each beside itself first."""
