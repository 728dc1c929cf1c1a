// An error whose message is shown to the user and names the remedy.
export class Trouble extends Error {}
