//! Where data may be. For now the places an owner can pin; the table of endpoints and the gate before the network come
//! with the first network store, and until then cairn sends nothing anywhere.

pub mod place;
