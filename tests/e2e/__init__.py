"""End-to-end tests; a package, so that its fixtures can live as long as it runs."""
