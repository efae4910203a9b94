// A lane of a workgroup, as those helpers know it that put numbers of all lanes together.
struct Lane {
    @builtin(local_invocation_index) at: u32,
}
