"""What any process of the project needs: progress with its ETA, cores, how a command begins and ends."""
