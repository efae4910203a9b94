// A term of a maximum: the key of the element and its place among the terms.

fn term(o: u32, at: u32, j: u32) -> Acc {
    return vec2<u32>(key(got(x[place(at)], at)), j);
}
