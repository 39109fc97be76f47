//! The contract of `wit/`, from the host's side. Exports are looked up interface by interface, because a connector
//! exports what it has; the world only tells the generator what there is.

wasmtime::component::bindgen!({
    path: "wit",
    world: "connector",
    imports: {
        "kheish:connector/http.send": async | trappable,
        "kheish:connector/key-value.get": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: { "kheish:connector/secrets.secret": super::host::secrets::Handle },
});
