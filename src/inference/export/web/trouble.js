// An error whose message is a sentence for the reader and names what to do.
export class Trouble extends Error {}
