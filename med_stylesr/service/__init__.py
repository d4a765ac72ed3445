"""Running many series: isolation, resume, manifest."""
