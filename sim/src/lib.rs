//! Fake Python workers and simulated time for the pools of `poolshift`.
