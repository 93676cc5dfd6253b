//! The edges in one program: how the rooms are layered, and what is shipped beside the code.
#![cfg(test)]

mod baselines;
mod layering;
mod packaging;
mod packaging_config;
mod paths;
mod readme;
