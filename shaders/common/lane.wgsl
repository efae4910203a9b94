// A lane of a workgroup, for the helpers that put numbers of all lanes together.
struct Lane {
    @builtin(local_invocation_index) at: u32,
}
