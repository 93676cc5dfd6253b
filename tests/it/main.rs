//! The edges in one program: how the rooms are layered, what is shipped beside the code, and the
//! program itself end to end, over real sockets.
#![cfg(test)]

mod bad_input;
mod baselines;
mod compare;
mod experiments;
mod interrupt;
mod layering;
mod operate;
mod nulls;
mod packaging;
mod packaging_config;
mod paths;
mod quiet_hour;
mod runs;
mod serve;
mod serving;
mod story;
mod suite;
mod support;
mod synthetic;
mod readme;
