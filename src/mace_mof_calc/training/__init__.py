"""From crystals to a model: curate, sample, label, finetune, evaluate; each step reads and writes files of frames."""
