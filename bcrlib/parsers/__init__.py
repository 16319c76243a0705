"""What proposes structures and judges them: networks, their training and their checkpoints."""
