//! LLB: ops, an immutable state graph, and its marshalled definition.
