// Generated from crds/imcluster.yaml by: node operator/api/generated.test.ts --write
import type {
  V1ResourceRequirements,
  V1Affinity,
  V1Toleration,
  V1TopologySpreadConstraint,
  V1NetworkPolicyPeer,
  V1NetworkPolicyEgressRule,
} from '../../controller/kubernetes.ts'
import type { KubeObject, ObjectMeta } from '../../controller/resource.ts'

/** A cluster of instant-messaging gateways with one directory (Redis) and one message bus (NATS). As the API server returns it: with all defaults. */
export interface ImCluster extends KubeObject {
  metadata: ObjectMeta & { namespace: string; uid: string; generation: number }
  readonly spec: ImClusterSpec
  readonly status?: ImClusterStatus
}

/** What is there. Written by the operator. */
export interface ImClusterStatus {
  /** The metadata.generation that this status is about. */
  readonly observedGeneration?: number
  /** Ready, Progressing, Draining, Degraded and Durable. */
  readonly conditions?: readonly Condition[]
  /** Pods that exist. */
  readonly replicas?: number
  /** Pods that accept clients. */
  readonly readyReplicas?: number
  /** Pods made from the newest pod template. */
  readonly updatedReplicas?: number
  /** Label selector of the pods, for the scale subresource. */
  readonly selector?: string
  /** Clients connected to all gateways. */
  readonly connections?: number
  /** The gateways, each start of one apart. */
  readonly brokers?: readonly BrokerStatus[]
  /** The latest removals of sessions that a dead gateway left behind, newest first. */
  readonly cleanups?: readonly CleanupRecord[]
}

/** A cleanup. */
export interface CleanupRecord {
  /** Name of the pod. */
  readonly brokerId: string
  /** UID of the pod. */
  readonly podUid: string
  /** Id of this start of the process; empty as long as it is not known. */
  readonly bootId: string
  /** How the gateway was known to be dead. */
  readonly proof: {
    /** The reason in one word, for example PodGone, PodReplaced or ContainerEnded. */
    readonly pod: string
    /** The reason in one word, for example PodGone, PodReplaced or ContainerEnded. */
    readonly lease: string
  }
  /** Sessions removed, by the operator or by the successor of the gateway. */
  readonly sessionsRemoved: number
  /** Sessions of it that could not be read and may be left. It should be 0. */
  readonly orphansLeft: number
  /** Clients that its drain did not move: it closed their connections at drain.deadlineSeconds, or was ended before. Not set when there are none. */
  readonly clientsCutOff?: number
  /** When it ended. */
  readonly finishedAt: string
}

/** A gateway. */
export interface BrokerStatus {
  /** Name of the pod. */
  readonly brokerId: string
  /** UID of the pod. */
  readonly podUid: string
  /** Id of this start of the process; empty as long as it is not known. */
  readonly bootId: string
  /** pending: the pod is there, the gateway not yet, or not any more. starting, ready and draining: what the gateway says; draining as well when it has left and its end is not recorded yet. lost: its lease ran out or is another's, and its sessions are not yet removed. */
  readonly state: 'pending' | 'starting' | 'ready' | 'draining' | 'lost'
  /** IP address of the pod. */
  readonly host?: string
  /** Clients connected to it. */
  readonly connections: number
}

/** A condition, by Kubernetes' conventions. */
export interface Condition {
  /** Name of the condition. */
  readonly type: string
  /** Whether it holds. */
  readonly status: 'True' | 'False' | 'Unknown'
  /** Why, in one word for programs. */
  readonly reason: string
  /** Why, and what it waits for, for people. */
  readonly message: string
  /** When status last changed. */
  readonly lastTransitionTime: string
  /** The metadata.generation that the condition is about. */
  readonly observedGeneration?: number
}

/** What is wanted. */
export interface ImClusterSpec {
  /** Number of gateways; the pods are named <name>-0, <name>-1 and so on. The default is 3. */
  readonly replicas: number
  /** Image of the gateway. Its default command runs the gateway. Nothing else decides the gateway's version, so an upgrade of the operator restarts no gateway. */
  readonly image: string
  /** When a node pulls the image. The default is IfNotPresent. */
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  /** Secrets of the namespace with credentials for the image's registry. */
  readonly imagePullSecrets?: readonly {
    /** Name of a Secret of the namespace. */
    readonly name: string
  }[]
  /** How clients reach the gateways. */
  readonly listeners: {
    /** Raw TCP. */
    readonly tcp: {
      /** Whether the Service has this port. The default is true. */
      readonly enabled: boolean
      /** Port of the Service. The default is 9000; in the pods it is always that. */
      readonly port: number
    }
    /** WebSocket. */
    readonly websocket: {
      /** Whether the Service has this port. The default is true. */
      readonly enabled: boolean
      /** Port of the Service. The default is 8080; in the pods it is always that. */
      readonly port: number
    }
    /** TLS on both listeners. A renewed certificate is used without a restart. */
    readonly tls?: {
      /** Name of a Secret of type kubernetes.io/tls, with the keys tls.crt and tls.key. */
      readonly secretName: string
    }
  }
  /** The Service <name> that clients connect to. */
  readonly service: {
    /** Type of the Service. The default is ClusterIP. */
    readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer'
    /** Annotations of the Service, for example those that a load balancer reads. */
    readonly annotations?: Readonly<Record<string, string>>
    /** PreferDualStack (the default) has addresses of both IPv4 and IPv6 where Kubernetes has both, and else of the one that there is. SingleStack has one of Kubernetes' first family, RequireDualStack is refused by Kubernetes where there are not both. */
    readonly ipFamilyPolicy: 'PreferDualStack' | 'SingleStack' | 'RequireDualStack'
    /** Ports on the nodes. Without them Kubernetes chooses. */
    readonly nodePorts?: {
      /** Port on every node, within the cluster's range (30000-32767 unless configured). */
      readonly tcp?: number
      /** Port on every node, within the cluster's range (30000-32767 unless configured). */
      readonly websocket?: number
    }
    /** Cluster (Kubernetes' default) spreads connections over all gateways; Local keeps the clients' addresses and uses only the gateways of the node that was reached. */
    readonly externalTrafficPolicy?: 'Cluster' | 'Local'
    /** The load balancer implementation to use. */
    readonly loadBalancerClass?: string
  }
  /** Redis, the directory of sessions and the store of inboxes. Exactly one of url and urlSecretRef. */
  readonly redis: {
    /** redis://host:port/db, redis-cluster://host,host or redis-sentinel://host,host/master; rediss instead of redis for TLS. A URL with a user or password belongs into urlSecretRef. */
    readonly url?: string
    /** The key of a Secret that holds the URL. Gateways read it again when the Secret changes. */
    readonly urlSecretRef?: {
      /** Name of a Secret of the namespace. */
      readonly name: string
      /** Key in the Secret's data. */
      readonly key: string
    }
    /** Prefix of every key. ImClusters on one Redis serve the same users unless it differs, and one of the same name as another is refused then. It cannot be changed once there are gateways. The default is im:. */
    readonly keyPrefix: string
    /** Deadline of one Redis command. The gateway's default is 3. */
    readonly timeoutSeconds?: number
  }
  /** NATS, the bus between gateways. */
  readonly nats: {
    /** Addresses like nats://host:4222, or tls://host:4222; an IPv6 address is in brackets. */
    readonly servers: readonly string[]
    /** The Secret with the credentials. Gateways read it again when the Secret changes. */
    readonly credentialsSecretRef?: {
      /** Name of a Secret of the namespace. */
      readonly name: string
      /** What the Secret holds: userPassword (the default), with the keys user and password, or token, with the key token. */
      readonly type: 'userPassword' | 'token'
    }
    /** Prefix of every subject, empty (the default) or ending in a dot. ImClusters of the same name on one NATS need different ones. It cannot be changed once there are gateways. */
    readonly subjectPrefix: string
  }
  /** How the tokens of clients are checked. */
  readonly auth: {
    /** secret (the default) checks JWTs of HS256 with a shared key, jwks those of RS256, ES256 and EdDSA with a published key set; none believes every client (for development only; a token is <appId>:<userId>). */
    readonly mode: 'secret' | 'jwks' | 'none'
    /** The key of a Secret that holds the HS256 key, at least 32 bytes. Gateways read it again when the Secret changes. */
    readonly secretRef?: {
      /** Name of a Secret of the namespace. */
      readonly name: string
      /** Key in the Secret's data. */
      readonly key: string
      /** Key in the Secret's data of another HS256 key, whose tokens are accepted, too; there need not be one. The default is former. */
      readonly formerKey?: string
    }
    /** URL of the JSON Web Key Set. */
    readonly jwksUrl?: string
    /** Required claim iss. Any issuer without it. */
    readonly issuer?: string
    /** Required claim aud. Any audience without it. */
    readonly audience?: string
    /** Claim that holds the userId. The gateway's default is sub. */
    readonly userClaim?: string
    /** Claim that holds the appId. The gateway's default is app. */
    readonly appClaim?: string
    /** The appIds that are served. All without it. */
    readonly apps?: readonly number[]
  }
  /** How many devices of a user may be online at once. Exactly one of preset and classes; the default is the preset unlimited. */
  readonly devicePolicy: {
    /** single: one device. dual: one native and one web. triple: one phone, one desktop and one web. unlimited: any devices, up to maxDevices. */
    readonly preset?: 'single' | 'dual' | 'triple' | 'unlimited'
    /** Classes of devices; those of one class share its places, and a login beyond them ends the oldest session of the class. Devices of no class are limited by maxDevices alone. */
    readonly classes?: readonly {
      /** Name of the class. */
      readonly name: string
      /** The client types of the class. */
      readonly clientTypes: readonly ('api' | 'web' | 'ios' | 'android' | 'windows' | 'macos')[]
      /** Devices of the class that may be online at once, within maxDevices. */
      readonly limit: number
    }[]
  }
  /** Devices of a user that may be online at once, whatever the devicePolicy; past it a login ends the session of the device that logged in first. The gateway's default is 64. */
  readonly maxDevices?: number
  /** Limits of the connections of one gateway. The gateway's default holds where one is not set. */
  readonly connections?: {
    /** Connections held at once. The gateway's default is 100000. */
    readonly max?: number
    /** Connections that have not sent their login yet; past it the oldest is closed. The gateway's default is 5000. */
    readonly maxPendingLogins?: number
    /** Longest frame accepted. The gateway's default is 65536. */
    readonly maxFrameBytes?: number
    /** Unanswered sends of a connection; past it no more is read from it. The gateway's default is 64. */
    readonly maxInFlightSends?: number
    /** Frames read from a connection, on average; past it reading waits. The gateway's default is 1000. */
    readonly maxFramesPerSecond?: number
    /** Bytes that wait for one client before delivery pauses. The gateway's default is 1048576. */
    readonly maxBufferedBytes?: number
    /** Bytes that a gateway holds for its clients, Redis and NATS together; past it clients wait and new ones go elsewhere. The gateway's default is an eighth of resources.limits.memory, or of the node's memory, from 16 MiB to 1 GiB. */
    readonly memoryBudgetBytes?: number
    /** A connection not logged in by then is closed. The gateway's default is 10. */
    readonly loginTimeoutSeconds?: number
    /** How often a client is asked to ping. The gateway's default is 25. */
    readonly heartbeatSeconds?: number
    /** A connection that sends no frame for this long is closed. The gateway's default is 60. */
    readonly idleTimeoutSeconds?: number
    /** A frame begun and not finished by then ends the connection. The gateway's default is 15. */
    readonly frameTimeoutSeconds?: number
    /** A connection whose delivery pauses for this long is closed. The gateway's default is 30. */
    readonly slowConsumerTimeoutSeconds?: number
  }
  /** What is retained for each user. The gateway's default holds where one is not set. */
  readonly inbox?: {
    /** Messages retained (trimmed in blocks, so somewhat more). The gateway's default is 10000. */
    readonly maxLength?: number
    /** How long a message is retained. The gateway's default is 604800 (7 days). */
    readonly retentionSeconds?: number
    /** How long the cursors of an idle user are retained. The gateway's default is 7776000 (90 days). */
    readonly cursorRetentionSeconds?: number
    /** How long a retry with the same messageId is recognised. The gateway's default is 600. */
    readonly dedupeSeconds?: number
    /** `stream` turns all inboxes back to what gateways of 0.2.0 read. The gateway's default is list. */
    readonly format?: 'list' | 'stream'
  }
  /** How the directory of sessions is kept. The gateway's default holds where one is not set. */
  readonly directory?: {
    /** How long a gateway counts as alive after it was last heard of; a dead one's sessions are removed no sooner. The gateway's default is 6. */
    readonly leaseSeconds?: number
    /** How long the slow round takes that compares all sessions with Redis, for losses of which nothing tells. The gateway's default is 600. */
    readonly verifyRoundSeconds?: number
    /** How long the route of a transient message is believed. The gateway's default is 5. */
    readonly routeCacheSeconds?: number
    /** How long a session stays in the directory as offline. The gateway's default is 3600. */
    readonly offlineRetentionSeconds?: number
  }
  /** Least level that gateways log. The gateway's default is info. */
  readonly logLevel?: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
  /** How a gateway leaves, in a scale-down, a rollout or an eviction: it sends its clients to the others. */
  readonly drain: {
    /** Clients sent away per second by one gateway. Connections divided by it should be well within the deadline. The default is 200. */
    readonly rate: number
    /** Connections left by then are closed. The default is 30. */
    readonly deadlineSeconds: number
    /** A client sent away waits a random time up to this, at most half of what is left of the deadline. The default is 2. */
    readonly jitterSeconds: number
  }
  /** How long Kubernetes waits for a gateway to leave before it kills it. Derived if not set: drain.deadlineSeconds + 15. */
  readonly terminationGracePeriodSeconds?: number
  /** Resources of the gateway's container. */
  readonly resources?: V1ResourceRequirements
  /** The rest of what may be said about the gateways' pods. */
  readonly podTemplate?: {
    /** Labels and annotations of the pods. A change restarts them. */
    readonly metadata?: {
      /** Labels added to those of the operator, which they cannot replace. */
      readonly labels?: Readonly<Record<string, string>>
      /** Annotations of the pods. */
      readonly annotations?: Readonly<Record<string, string>>
    }
    /** Labels that a node must have. */
    readonly nodeSelector?: Readonly<Record<string, string>>
    /** Rules about nodes and other pods, as in a Pod. */
    readonly affinity?: V1Affinity
    /** Taints of nodes that the pods tolerate, as in a Pod. */
    readonly tolerations?: V1Toleration[]
    /** How the pods spread, as in a Pod; the cluster's own pods are counted where labelSelector is not set. Besides, they spread over nodes where that is possible, unless one of these has the topologyKey kubernetes.io/hostname, or the list is empty. */
    readonly topologySpreadConstraints?: V1TopologySpreadConstraint[]
    /** Name of a PriorityClass. */
    readonly priorityClassName?: string
    /** Name of a RuntimeClass. */
    readonly runtimeClassName?: string
    /** Name of the scheduler. */
    readonly schedulerName?: string
    /** Ids that the gateways run with. The rest is fixed to what the Pod Security level restricted asks for, and the root file system is read-only. */
    readonly securityContext?: {
      /** User id. The image's if not set. */
      readonly runAsUser?: number
      /** Group id. The image's if not set. */
      readonly runAsGroup?: number
    }
  }
  /** How many gateways may be evicted at once. There is no budget for fewer than two replicas. */
  readonly podDisruptionBudget: {
    /** A number, or a percentage of the replicas like 25%. The default is 1. */
    readonly maxUnavailable: number | string
  }
  /** A NetworkPolicy <name> for the gateways, if the cluster's network enforces them. Clients may come from everywhere; the admin port, which has the metrics, is for the cluster's own gateways. */
  readonly networkPolicy?: {
    /** Whether there is one. */
    readonly enabled: boolean
    /** Who may connect to the listeners, as in a NetworkPolicy. Everybody if it is not set. */
    readonly clientsFrom?: V1NetworkPolicyPeer[]
    /** Who may reach the admin port besides the cluster's gateways, for example Prometheus, as in a NetworkPolicy. Nobody if it is not set. */
    readonly adminFrom?: V1NetworkPolicyPeer[]
    /** What gateways may connect to besides DNS and each other, as in a NetworkPolicy: Redis and NATS, and where auth.jwksUrl is. Everything if it is not set. */
    readonly egress?: V1NetworkPolicyEgressRule[]
  }
  /** How long the cluster may be on its way without a step (a pod that comes, is ready, leaves or is gone) before it counts as Degraded, ProgressDeadlineExceeded. It goes on trying. The default is 600. */
  readonly progressDeadlineSeconds: number
  /** While true, the operator changes nothing of this cluster; the status goes on. The default is false. */
  readonly paused: boolean
}
