// Pages beside the conversations: in the address, each has a name where a conversation has its id.

export const PLACES = ["learn", "account", "deleted", "data", "admin"] as const;
export type Place = (typeof PLACES)[number];

export const isPlace = (id: string): id is Place => (PLACES as readonly string[]).includes(id);
