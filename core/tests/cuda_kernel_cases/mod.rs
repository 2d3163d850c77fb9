//! One module per source of kernels, and the program that they run in.

mod bugs;
mod differences;
mod faces;
mod frames;
mod pictures;
mod program;
mod sound;
