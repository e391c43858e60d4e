//! The site as it is published: what its pages allow, what they weigh, and how they work.

mod highlight;
mod pages;
mod policy;
mod tour;
mod weight;
