//! audit: which labels are probably wrong, from what a classifier and the neighbours of an image say of it. Pure
//! functions of probabilities, labels and neighbours; whoever calls them sees to it that what says something of an
//! image was not learnt from its label.

pub mod confident;
pub mod folds;
pub mod pool;
pub mod votes;
