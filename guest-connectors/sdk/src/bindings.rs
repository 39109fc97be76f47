//! The contract, generated from `wit/`. What the host offers is generated once; each world that a connector can
//! export adds its own exports and shares the types, so that an event is the same type everywhere.

/// What the host offers, and the types of the contract.
pub mod imports {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "kheish:connector/imports",
        generate_all,
    });
}

/// The world `ingress-connector`.
pub mod ingress {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "kheish:connector/ingress-connector",
        with: {
            "kheish:connector/types@0.1.0": super::imports::kheish::connector::types,
            "kheish:connector/config@0.1.0": super::imports::kheish::connector::config,
            "kheish:connector/secrets@0.1.0": super::imports::kheish::connector::secrets,
            "kheish:connector/http@0.1.0": super::imports::kheish::connector::http,
            "kheish:connector/key-value@0.1.0": super::imports::kheish::connector::key_value,
            "kheish:connector/logging@0.1.0": super::imports::kheish::connector::logging,
        },
        export_macro_name: "export_ingress_world",
        pub_export_macro: true,
    });
}

/// The export `delivery`, in a world of its own that is merged with the others of the component.
pub mod delivery {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package kheish:guest;
            world delivery-alone { include kheish:connector/imports@0.1.0; export kheish:connector/delivery@0.1.0; }
        ",
        world: "kheish:guest/delivery-alone",
        with: {
            "kheish:connector/types@0.1.0": super::imports::kheish::connector::types,
            "kheish:connector/config@0.1.0": super::imports::kheish::connector::config,
            "kheish:connector/secrets@0.1.0": super::imports::kheish::connector::secrets,
            "kheish:connector/http@0.1.0": super::imports::kheish::connector::http,
            "kheish:connector/key-value@0.1.0": super::imports::kheish::connector::key_value,
            "kheish:connector/logging@0.1.0": super::imports::kheish::connector::logging,
        },
        export_macro_name: "export_delivery_world",
        pub_export_macro: true,
    });
}

/// The export `attachments`, in a world of its own.
pub mod attachments {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package kheish:guest;
            world attachments-alone { include kheish:connector/imports@0.1.0; export kheish:connector/attachments@0.1.0; }
        ",
        world: "kheish:guest/attachments-alone",
        with: {
            "kheish:connector/types@0.1.0": super::imports::kheish::connector::types,
            "kheish:connector/config@0.1.0": super::imports::kheish::connector::config,
            "kheish:connector/secrets@0.1.0": super::imports::kheish::connector::secrets,
            "kheish:connector/http@0.1.0": super::imports::kheish::connector::http,
            "kheish:connector/key-value@0.1.0": super::imports::kheish::connector::key_value,
            "kheish:connector/logging@0.1.0": super::imports::kheish::connector::logging,
        },
        export_macro_name: "export_attachments_world",
        pub_export_macro: true,
    });
}

/// The export `polling`, in a world of its own.
pub mod polling {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package kheish:guest;
            world polling-alone { include kheish:connector/imports@0.1.0; export kheish:connector/polling@0.1.0; }
        ",
        world: "kheish:guest/polling-alone",
        with: {
            "kheish:connector/types@0.1.0": super::imports::kheish::connector::types,
            "kheish:connector/config@0.1.0": super::imports::kheish::connector::config,
            "kheish:connector/secrets@0.1.0": super::imports::kheish::connector::secrets,
            "kheish:connector/http@0.1.0": super::imports::kheish::connector::http,
            "kheish:connector/key-value@0.1.0": super::imports::kheish::connector::key_value,
            "kheish:connector/logging@0.1.0": super::imports::kheish::connector::logging,
        },
        export_macro_name: "export_polling_world",
        pub_export_macro: true,
    });
}

/// The export `activation`, in a world of its own.
pub mod activation {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package kheish:guest;
            world activation-alone { include kheish:connector/imports@0.1.0; export kheish:connector/activation@0.1.0; }
        ",
        world: "kheish:guest/activation-alone",
        with: {
            "kheish:connector/types@0.1.0": super::imports::kheish::connector::types,
            "kheish:connector/config@0.1.0": super::imports::kheish::connector::config,
            "kheish:connector/secrets@0.1.0": super::imports::kheish::connector::secrets,
            "kheish:connector/http@0.1.0": super::imports::kheish::connector::http,
            "kheish:connector/key-value@0.1.0": super::imports::kheish::connector::key_value,
            "kheish:connector/logging@0.1.0": super::imports::kheish::connector::logging,
        },
        export_macro_name: "export_activation_world",
        pub_export_macro: true,
    });
}

/// The export `reconciliation`, likewise.
pub mod reconciliation {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package kheish:guest;
            world reconciliation-alone {
                include kheish:connector/imports@0.1.0;
                export kheish:connector/reconciliation@0.1.0;
            }
        ",
        world: "kheish:guest/reconciliation-alone",
        with: {
            "kheish:connector/types@0.1.0": super::imports::kheish::connector::types,
            "kheish:connector/config@0.1.0": super::imports::kheish::connector::config,
            "kheish:connector/secrets@0.1.0": super::imports::kheish::connector::secrets,
            "kheish:connector/http@0.1.0": super::imports::kheish::connector::http,
            "kheish:connector/key-value@0.1.0": super::imports::kheish::connector::key_value,
            "kheish:connector/logging@0.1.0": super::imports::kheish::connector::logging,
        },
        export_macro_name: "export_reconciliation_world",
        pub_export_macro: true,
    });
}

/// The export `presence`, likewise.
pub mod presence {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package kheish:guest;
            world presence-alone { include kheish:connector/imports@0.1.0; export kheish:connector/presence@0.1.0; }
        ",
        world: "kheish:guest/presence-alone",
        with: {
            "kheish:connector/types@0.1.0": super::imports::kheish::connector::types,
            "kheish:connector/config@0.1.0": super::imports::kheish::connector::config,
            "kheish:connector/secrets@0.1.0": super::imports::kheish::connector::secrets,
            "kheish:connector/http@0.1.0": super::imports::kheish::connector::http,
            "kheish:connector/key-value@0.1.0": super::imports::kheish::connector::key_value,
            "kheish:connector/logging@0.1.0": super::imports::kheish::connector::logging,
        },
        export_macro_name: "export_presence_world",
        pub_export_macro: true,
    });
}
