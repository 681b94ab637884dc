//! Dataset, augmentation, feature cache, training loop, checkpoints, prediction.
