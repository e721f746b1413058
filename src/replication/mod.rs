//! Two servers of a site (architecture §4): what they tell each other, and which of them serves.
//!
//! | file | what |
//! | --- | --- |
//! | [`beat`] | what they tell each other about themselves |
//! | [`exchange`] | one side takes the facts that it lacks from the other |
//! | [`join`] | a new server becomes the standby of another one |
//! | [`keeper`] | does what the roles say: serves or refuses, tells the partner, exchanges facts |
//! | [`link`] | the way to the other server |
//! | [`page`] | facts on their way |
//! | [`partner`] | who the other server is, and what each holds |
//! | [`roles`] | PURE. which of the two serves, and how that changes |

pub mod beat;
pub mod exchange;
pub mod join;
pub mod keeper;
pub mod link;
pub mod page;
pub mod partner;
pub mod roles;
#[cfg(test)]
mod simulation;
