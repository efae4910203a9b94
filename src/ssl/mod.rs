//! ssl: self-supervised methods, one per file. A method sees values on a tape: views of images in, a loss out. It never
//! sees labels, files or test images; `study` decides what flows in.

pub mod simclr;
