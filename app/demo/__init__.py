"""The demonstration: histories played into sandbox systems, and the verdict over what they hold."""
