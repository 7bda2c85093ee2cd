# A function that does nothing: what `cargo xtask bench` compares ours with.
def handler(event, context):
    return {}
