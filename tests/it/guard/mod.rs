//! The guards: their formulas against slow or hand-made ones, and their rates of error.

mod books;
mod formulas;
mod pairs;
mod rates;
mod traffic;
