"""The parts of a report, a module each: ``make`` returns the part, or None where its data are not there."""
