"""What any process of the project needs: progress and its time left, cores, start and end of a command."""
