"""What flows would write, as a plan: listed and added up before anything is written, and compared with a later one."""
