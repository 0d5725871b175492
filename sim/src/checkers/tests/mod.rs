//! For every law a trace that keeps it and puts it to the test, and traces that break it and no
//! other law.

mod calls;
mod queues;
mod routes;
mod runs;
mod speed;
mod story;
mod verdict;
mod workers;
