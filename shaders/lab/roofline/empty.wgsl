// Nothing: what is left of a dispatch is the launch. One workgroup of one invocation.

@compute @workgroup_size(1)
fn main() {}
