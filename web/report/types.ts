import type { components } from "../src/protocol/bench";

type Schemas = components["schemas"];

export type Page = Schemas["Page"];
export type Section = Schemas["Section"];
export type Run = Schemas["Run"];
export type Listing = Schemas["Listing"];
export type Table = Schemas["Table"];
export type Cell = Schemas["Cell"];
export type Chart = Schemas["Chart"];
export type Axis = Schemas["Axis"];
export type Line = Schemas["Line"];
export type Heat = Schemas["Heat"];
