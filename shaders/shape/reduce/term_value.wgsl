// A term of a sum: the element itself.

fn term(o: u32, at: u32, j: u32) -> Acc {
    return got(x[place(at)], at);
}
