/** Scheme, credentials, and the hosts, as in a URL of Redis (which may have several) or of NATS. */
const address = /^((?:[a-z-]+:\/\/)?(?:[^@/]*@)?)([^/?#]+)/

/**
 * Gives hosts without a dot the namespace that they are meant in: a gateway finds `redis` among the Services of its own
 * namespace, the operator, which lives in another, would find another `redis` or none.
 *
 * @param url of one server or, with commas, several; what is no URL is returned as it is
 */
export function qualifyHosts(url: string, namespace: string): string {
  return url.trim().replace(address, (_, before: string, hosts: string) => {
    const qualified = hosts.split(',').map((host) => {
      const [, name = '', port = ''] = /^([^.:[\]]+)(:\d+)?$/.exec(host) ?? []
      return name === '' || name === 'localhost' ? host : `${name}.${namespace}.svc${port}`
    })
    return before + qualified.join(',')
  })
}
