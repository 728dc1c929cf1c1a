//! tonotopy
