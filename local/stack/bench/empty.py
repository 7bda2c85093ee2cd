# An empty function, for comparison in `cargo xtask bench`.
def handler(event, context):
    return {}
