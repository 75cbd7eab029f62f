/** @type {{name: string, run: (r: any) => void}[]} */
export const exporters = [];
