//! Load from the product's own voters. Speaks HTTP to a server like any phone; knows nothing of how it counts.

pub mod load;
