"""What one would write without the library. Each does the whole work: it checks every signature and every checksum."""
