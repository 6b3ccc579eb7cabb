"""What happens between a plan and a score: training, checkpoints, records, prediction."""
